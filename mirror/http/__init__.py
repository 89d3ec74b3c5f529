"""How bytes get here and away: httpx for what is small, sockets in worker threads for blobs."""
