"""A faithful, verified copy of Linkerd's release images in a registry of your own."""
