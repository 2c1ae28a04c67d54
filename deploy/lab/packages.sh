#!/bin/sh
# Installs the Debian packages that some tests drive: Chromium for the page, Node for ClickHouse's engine. What cannot be
# installed is said, and its tests will be skipped.
set -u
missing=
command -v chromium >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
	echo "packages.sh: not root on a Debian: install$missing yourself, or some tests will be skipped" >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=120 update -qq
# shellcheck disable=SC2086 # one word a package
apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends $missing >/dev/null ||
	echo "packages.sh:$missing cannot be installed; their tests will be skipped" >&2
exit 0
