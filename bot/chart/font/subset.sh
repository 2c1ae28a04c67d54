#!/bin/sh
# Cuts the fonts of pictures out of Debian's Noto Sans CJK: the letters of zh.txt and ja.txt, which a test of bot/chart
# writes (go test ./bot/chart -run ItsLetters -update). It needs apt-get, the network and, for fonttools, root or a Debian
# that has it.
set -eu
cd "$(dirname "$0")"
subset="/usr/bin/python3 -m fontTools.subset"
if ! $subset --help >/dev/null 2>&1; then
	if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
		echo "subset.sh: install python3-fonttools, or run it as root on a Debian" >&2
		exit 1
	fi
	apt-get -o DPkg::Lock::Timeout=120 update -qq
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends python3-fonttools >/dev/null
fi
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq fonts-noto-cjk
dpkg-deb -x fonts-noto-cjk_*.deb .
cd "$here"
# A file of the package holds a font for each writing: 0 is Japanese, 2 simplified Chinese.
for font in "zh 2" "ja 0"; do
	lang=${font% *}
	for weight in Regular Bold; do
		out=$lang.otf
		[ "$weight" = Regular ] || out=$lang-bold.otf
		$subset "$work/usr/share/fonts/opentype/noto/NotoSansCJK-$weight.ttc" --font-number="${font#* }" \
			--text-file="$lang.txt" --layout-features= --no-hinting --desubroutinize --name-IDs=0,13,14 --output-file="$out"
		echo "$out: $(wc -c <"$out") bytes"
	done
done
