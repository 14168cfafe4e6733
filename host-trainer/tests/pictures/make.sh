#!/usr/bin/env bash
# Makes the pictures beside it with ImageMagick and libwebp's cwebp: one picture, half black and half white, in kinds of
# every type that no encoder of this workspace writes.
set -euo pipefail
cd "$(dirname "$0")"
half=$(mktemp --suffix=.png)
trap 'rm -f "$half"' EXIT
convert -size 8x16 xc:black xc:white +append -strip "$half"

convert "$half" -colorspace CMYK -strip cmyk.jpg
convert "$half" -interlace JPEG -strip progressive.jpg
convert "$half" -colorspace CMYK -interlace JPEG -strip progressive-cmyk.jpg
convert "$half" -define jpeg:restart-interval=1 -strip restarts.jpg
convert "$half" -interlace PNG -strip PNG24:interlaced.png
convert "$half" -interlace PNG -depth 16 -strip PNG64:interlaced-16-bit.png
convert "$half" -strip PNG8:palette.png
convert "$half" -monochrome -depth 1 -strip one-bit.png
convert -delay 10 "$half" \( "$half" -negate \) -strip animated.gif
convert "$half" -interlace GIF -strip interlaced.gif
convert -delay 10 "$half" \( "$half" -negate \) -strip animated.webp
cwebp -quiet -q 90 "$half" -o lossy.webp
convert "$half" -monochrome -strip BMP3:one-bit.bmp
convert "$half" -colors 16 -strip BMP3:palette.bmp
convert "$half" -type palette -compress RLE -strip BMP3:rle.bmp
for compression in LZW Zip RLE JPEG Group4; do
    convert "$half" -compress "$compression" -strip "${compression,,}.tif"
done
convert "$half" -colorspace CMYK -strip cmyk.tif
convert "$half" -depth 16 -define tiff:endian=msb -strip 16-bit-msb.tif
convert "$half" "$half" -strip pages.tif
