#!/bin/sh
# Stands in for foretrain-gpu in a test: the second rank fails, the first waits.
[ "$RANK" = 1 ] && exit 2
exec sleep 60
