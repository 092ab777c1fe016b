# Pictures of every shape: size, turn, scan, colour, depth, rate.

make:sdr-720p-aac.mp4() {
  ff -f lavfi -i "$(moving 1280x720 30 6)" -f lavfi -i "$(tone 6)" "${x264[@]}" "${aac[@]}" \
    -color_primaries bt709 -color_trc bt709 -colorspace bt709 -movflags +faststart "$out"
}

make:video-only-h264.mp4() { ff -f lavfi -i "$(moving 320x180 25 2)" "${x264[@]}" "$out"; }

make:single-frame.mp4() {
  ff -f lavfi -i "$(moving 320x180 25 1)" -frames:v 1 "${x264[@]}" "$out"
}

hdr_hevc() {  # TRANSFER EXTRA_X265
  ff -f lavfi -i "$(moving 320x180 24 2)" -f lavfi -i "$(tone 2)" \
    -vf scale=out_color_matrix=bt2020,format=yuv420p10le -c:v libx265 -preset ultrafast -crf 30 \
    -x265-params "$x265_quiet:repeat-headers=1:colorprim=bt2020:transfer=$1:colormatrix=bt2020nc$2" \
    -color_primaries bt2020 -color_trc "$1" -colorspace bt2020nc -color_range tv -tag:v hvc1 \
    "${aac[@]}" "$out"
}
make:hdr10.mp4() {
  hdr_hevc smpte2084 ":hdr10=1:max-cll=1000,400:master-display=\
G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
}
make:hlg.mp4() { hdr_hevc arib-std-b67 ""; }

make:h264-10bit.mkv() {
  ff -f lavfi -i "$(moving 320x180 25 2)" "${x264[@]}" -pix_fmt yuv420p10le "$out"
}

# rotated DEGREES TRANSPOSE [EXTRA_FILTER]: stored turned, with a display matrix
# that a player turns by DEGREES clockwise.
rotated() {
  ff -f lavfi -i "$(corners 180 320 25 2),$2${3:-}" -f lavfi -i "$(tone 2)" "${x264[@]}" "${aac[@]}" \
    "$scratch/flat.mp4"
  # ffmpeg 5.1 takes this number counter-clockwise.
  ff -i "$scratch/flat.mp4" -c copy -metadata:s:v:0 rotate=$((360 - $1)) "$out"
}
make:rotated-90.mp4() { rotated 90 transpose=cclock; }
make:rotated-180.mp4() { rotated 180 hflip,vflip; }
make:rotated-270.mp4() { rotated 270 transpose=clock; }
# The sample aspect ratio is that of the stored picture, before the turn.
make:rotated-90-anamorphic.mp4() { rotated 90 transpose=cclock ,scale=160:180,setsar=2; }

interlaced() {  # tff|bff, ffmpeg's options
  local first=$1 top=0
  [[ $first == tff ]] && top=1
  shift
  ff -f lavfi -i "$(moving 352x288 50 2)" -f lavfi -i "$(tone 2)" \
    -vf "interlace=scan=$first:lowpass=off,setsar=1" -top "$top" -flags:v +ilme+ildct "$@" "$out"
}
make:interlaced-mpeg2-tff.mpg() { interlaced tff -c:v mpeg2video -b:v 600k -c:a mp2 -b:a 96k -f vob; }
make:interlaced-mpeg2-bff.ts() { interlaced bff -c:v mpeg2video -b:v 600k -c:a mp2 -b:a 96k; }
make:interlaced-h264-tff.mkv() { interlaced tff "${x264[@]}" -x264-params tff=1 "${aac[@]}"; }

anamorphic() {  # STORED_WIDTH STORED_HEIGHT SAR
  ff -f lavfi -i "$(corners "$1" "$2" 25 1),setsar=$3" -f lavfi -i "$(tone 1)" "${x264[@]}" \
    "${aac[@]}" "$out"
}
make:anamorphic-pal-16x11.mp4() { anamorphic 720 576 16/11; }
make:anamorphic-3x2.mp4() { anamorphic 160 120 3/2; }
make:anamorphic-8x9.mp4() { anamorphic 180 120 8/9; }

make:odd-161x121-vp9.webm() {
  ff -f lavfi -i "$(corners 161 121 25 1)" "${vp9[@]}" -pix_fmt yuv420p "$out"
}
make:odd-121x81-h264-444.mkv() {
  ff -f lavfi -i "$(corners 121 81 25 1)" "${x264[@]}" -pix_fmt yuv444p "$out"
}
make:tiny-2x2.mkv() { ff -f lavfi -i "$(moving 2x2 25 1)" -c:v ffv1 -pix_fmt yuv420p "$out"; }
make:tiny-16x16.mp4() { ff -f lavfi -i "$(moving 16x16 25 1)" "${x264[@]}" "$out"; }

make:high-fps-240.mp4() { ff -f lavfi -i "$(moving 160x90 240 2)" "${x264[@]}" "$out"; }

# Drops frames by a fixed rule, so that gaps of one to seven frames alternate.
make:vfr-h264.mp4() {
  ff -f lavfi -i "$(moving 320x180 30 4)" -f lavfi -i "$(tone 4)" \
    -vf "select='lt(mod(n*n,11),4)+eq(n,119)'" -vsync vfr -video_track_timescale 90000 \
    "${x264[@]}" "${aac[@]}" "$out"
}
# A screen recording in which nothing moves for two seconds.
make:vfr-long-pause.mkv() {
  ff -f lavfi -i "$(moving 320x180 30 4)" -f lavfi -i "$(tone 4)" \
    -vf "select='lt(t,1)+gte(t,3)'" -vsync vfr "${x264[@]}" "${aac[@]}" "$out"
}

make:long-gop-h264.mp4() {
  ff -f lavfi -i "$(moving 320x180 25 10)" -f lavfi -i "$(tone 10)" "${x264[@]}" -g 250 \
    -keyint_min 250 -sc_threshold 0 -bf 3 "${aac[@]}" "$out"
}

make:black-24h.mp4() {
  ff -f lavfi -i color=black:s=64x64:r=1:d=86400 "${x264[@]}" -preset ultrafast "$out"
}

tagged_colour() {  # MATRIX_FOR_SCALE RANGE, then colour tags
  local matrix=$1 range=$2
  shift 2
  ff -f lavfi -i "$(corners 320 180 25 1),scale=out_color_matrix=$matrix:out_range=$range,format=yuv420p" \
    "${x264[@]}" -bf 0 "$@" "$out"
}
make:color-bt601.mp4() {
  tagged_colour bt601 tv -color_primaries smpte170m -color_trc smpte170m -colorspace smpte170m \
    -color_range tv
}
make:color-bt709.mp4() {
  tagged_colour bt709 tv -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv
}
make:color-full-range.mp4() {
  tagged_colour bt709 pc -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range pc
}
make:color-untagged.mp4() {
  tagged_colour bt601 tv -color_primaries unknown -color_trc unknown -colorspace unknown \
    -color_range unknown
}

make:alpha-vp9.webm() {
  ff -f lavfi -i "$(corners 160 90 25 1),format=yuva420p,fade=alpha=1:d=1" "${vp9[@]}" \
    -auto-alt-ref 0 -pix_fmt yuva420p "$out"
}

make:animated.gif() { ff -f lavfi -i "$(moving 160x90 10 2)" "$out"; }

# The picture grows in mid-stream, as when a broadcast changes programme.
make:size-change.ts() {
  local size=(320x180 640x360) at
  for at in 0 1; do
    ff -f lavfi -i "$(moving "${size[at]}" 25 1)" -f lavfi -i "$(tone 1)" "${x264[@]}" "${aac[@]}" \
      -output_ts_offset $((at + 1)) "$scratch/$at.ts"
  done
  cat "$scratch/0.ts" "$scratch/1.ts" > "$out"
}
