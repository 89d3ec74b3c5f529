"""What differs between the registries we write to."""
