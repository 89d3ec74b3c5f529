"""Servers for the tests, each a context manager that ends what it started.

distribution   Debian's docker-registry: open, htpasswd, token, TLS
olareg         a registry with the referrers API, built from tests/tools/go
ecr            Amazon ECR: its API by moto, and a docker-registry with its manners
fake           a registry in this process whose behaviour and faults a test chooses
tokens         the token service that docker-registry and the fake send clients to
proxy          an HTTP proxy that records what passes
gateway        stands before a registry: what it is asked and answers may be changed, or stopped, on its way
harbor         Harbor before docker-registry; harbor_state: projects, robots, rules; harbor_api: what is said of them
certificates   a certificate authority of the test's own
client         our own client, pointed at one of them
"""
