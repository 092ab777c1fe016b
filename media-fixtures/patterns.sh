# What the recipes draw, sound and encode with.

# ffmpeg that writes the same bytes each time: one thread, no dates, no random
# identifiers, no version strings.
ff() {
  local target=${*: -1}
  ffmpeg -nostdin -hide_banner -loglevel error -y -filter_threads 1 \
    -filter_complex_threads 1 -threads 1 "${@:1:$#-1}" -threads 1 -fflags +bitexact \
    -flags:v +bitexact -flags:a +bitexact "$target"
}

# Encoder settings: small and quick first, pretty last.
x264=(-c:v libx264 -preset veryfast -crf 32 -pix_fmt yuv420p)
# x265 otherwise spreads over all cores and writes its settings into the stream.
x265_quiet=log-level=none:pools=none:frame-threads=1:info=0
aac=(-c:a aac -b:a 64k)
vp9=(-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 45 -b:v 0 -row-mt 0)
opus=(-c:a libopus -b:a 48k)

# moving SIZE RATE SECONDS: colours in motion with the frame's time and number
# burnt in.
moving() { echo "testsrc2=s=$1:r=$2:d=$3"; }

# tone SECONDS [HZ]: a steady stereo tone.
tone() { echo "sine=f=${2:-440}:r=48000:d=$1,aformat=channel_layouts=stereo"; }

# Flash and beep start together at each whole second from 1 on and last 80 ms.
# The first second is dark and silent, so that a lost start is noticed.
flashes() {  # SIZE RATE SECONDS
  echo "color=black:s=$1:r=$2:d=$3,drawbox=c=white:t=fill:enable='gte(n,$2)*lt(mod(n,$2),0.08*$2)'"
}
beeps() {  # SECONDS
  echo "aevalsrc='if(gte(n,48000)*lt(mod(n,48000),3840),0.6*sin(2*PI*1000*t),0)':s=48000:d=$1,aformat=channel_layouts=stereo"
}

# corners WIDTH HEIGHT RATE SECONDS: four flat quarters, seen upright: red and
# green above, blue and yellow below. Shows any wrong turn, flip or colour.
corners() {
  local w=$1 h=$2 rest="r=$3:d=$4"
  local left=$((w / 2)) top=$((h / 2))
  local right=$((w - left)) bottom=$((h - top))
  # Quarters of odd size exist only where chroma is not subsampled.
  echo "color=red:s=${left}x$top:$rest,format=gbrp[a];color=lime:s=${right}x$top:$rest,format=gbrp[b];\
color=blue:s=${left}x$bottom:$rest,format=gbrp[c];color=yellow:s=${right}x$bottom:$rest,format=gbrp[d];\
[a][b]hstack[top];[c][d]hstack[bottom];[top][bottom]vstack"
}

# replace_bytes FILE OFFSET BYTES: BYTES as printf understands them.
replace_bytes() {
  printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# offset_of FILE BYTES: where BYTES (a Perl expression) first stand in FILE.
offset_of() { grep -obUaP -m1 "$2" "$1" | head -n1 | cut -d: -f1; }

# first_part FILE PERCENT: the start of FILE.
first_part() { head -c $(($(stat -c %s "$1") * $2 / 100)) "$1"; }
