#!/bin/sh
# A certificate that nobody trusts, for 127.0.0.1, until 2126: what tests/unit/test_net.c shows that certificates are checked with.
# The key protects nothing. Needs openssl.
cd "$(dirname "$0")" || exit 1
openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj '/CN=quorum test' -addext 'subjectAltName=IP:127.0.0.1' -keyout key.pem -out cert.pem
