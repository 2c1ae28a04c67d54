#!/bin/sh
# Fetches Debian's Prometheus with promtool and unpacks both beside this script; nothing is installed, no root is needed.
set -eu
cd "$(dirname "$0")"
if [ -x prometheus/bin/prometheus ] || command -v prometheus >/dev/null 2>&1; then
	exit 0
fi
command -v apt-get >/dev/null 2>&1 || { echo "prometheus.sh: no apt-get here; put prometheus and promtool into the PATH" >&2; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
apt-cache show prometheus >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || apt-get update -qq
(cd "$work" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) ||
	{ echo "prometheus.sh: Debian's package prometheus cannot be fetched; its tests will be skipped" >&2; exit 0; }
mkdir -p prometheus/bin
cp "$work/usr/bin/prometheus" "$work/usr/bin/promtool" prometheus/bin/
