"""runs -> one page that opens without a server."""
