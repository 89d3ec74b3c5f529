"""The whole job offline: an embedded upstream with a small release in the shape of Linkerd's."""
