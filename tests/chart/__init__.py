"""helm/mirror: what it renders, and what is made from its values.yaml."""
