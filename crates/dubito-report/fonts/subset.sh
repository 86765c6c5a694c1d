#!/bin/sh
# Make the font files of this folder from the static OpenType files of Inter 4.0 beta 7
# (Debian's package fonts-inter). Needs fontTools and brotli.
# Usage: subset.sh FOLDER_OF_INTER
set -eu
unicodes="U+0020-007E,U+00A0-017F,U+2010-2015,U+2018-201E,U+2020-2022,U+2026,U+2030,U+2032,U+2033,U+2039,U+203A,U+2044,U+20AC,U+2190-2193,U+2212,U+2215,U+2248,U+2260,U+2264,U+2265,U+00D7,U+0391-03A9,U+03B1-03C9"
for weight in Regular SemiBold; do
    pyftsubset "$1/Inter-$weight.otf" --unicodes="$unicodes" --layout-features=kern,tnum,ccmp,mark,locl \
        --no-hinting --desubroutinize --output-file="Inter-$weight.otf"
    pyftsubset "$1/Inter-$weight.otf" --unicodes="$unicodes" --layout-features=kern,tnum,ccmp,mark,locl \
        --no-hinting --flavor=woff2 --output-file="Inter-$weight.woff2"
done
