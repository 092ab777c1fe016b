# Files that must end in a clear failure.

# Intact, but nothing here can read them.
make:unsupported-encrypted.mp4() {
  ff "${programme[@]}" "${x264[@]}" "${aac[@]}" -encryption_scheme cenc-aes-ctr \
    -encryption_key 76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8 "$out"
}
make:unsupported-codec.mp4() {
  local whole
  whole=$(fixture video-only-h264.mp4)
  sed 's/avc1/vvc1/g' "$whole" > "$out"
}
make:unsupported-subtitles-only.mkv() {
  subtitles 'no picture' 'no sound'
  ff -i "$scratch/subtitles.srt" -c:s srt "$out"
}

# The index stands at the end of av-sync.mp4 and is cut off.
make:truncated-no-moov.mp4() { first_part "$(fixture av-sync.mp4)" 60 > "$out"; }
# The index stands first and promises six seconds.
make:truncated-faststart.mp4() { first_part "$(fixture sdr-720p-aac.mp4)" 40 > "$out"; }
make:truncated.mkv() { first_part "$(fixture mkv-h264-aac.mkv)" 50 > "$out"; }
make:truncated.webm() { first_part "$(fixture webm-vp9-opus.webm)" 50 > "$out"; }
# Only the header of a file that promises two seconds.
make:header-only.mkv() {
  local whole
  whole=$(fixture mkv-h264-aac.mkv)
  head -c "$(offset_of "$whole" '\x1f\x43\xb6\x75')" "$whole" > "$out"  # up to the first cluster
}
make:header-only.mp4() {
  # A fragmented file before its first fragment: tracks, but no sample.
  local whole
  whole=$(fixture fragmented.mp4)
  head -c $(($(offset_of "$whole" moof) - 4)) "$whole" > "$out"
}

make:empty.mp4() { : > "$out"; }
make:garbage.mp4() {
  ff -f lavfi -i 'anoisesrc=seed=7:r=48000:d=1' -f u8 "$scratch/noise"
  head -c 40000 "$scratch/noise" > "$out"
}
make:text.mp4() {
  local line
  for line in {1..40}; do echo "Line $line of a letter that someone called a film."; done > "$out"
}
make:zeros.mp4() { head -c 65536 /dev/zero > "$out"; }

# flip_bytes FIRST_PERCENT LAST_PERCENT STEP: inverts one byte in STEP of $out.
flip_bytes() {
  local size at value
  size=$(stat -c %s "$out")
  for ((at = size * $1 / 100; at < size * $2 / 100; at += $3)); do
    value=$(od -An -tu1 -j "$at" -N 1 "$out")
    replace_bytes "$out" "$at" "$(printf '\\x%02x' $((value ^ 0xff)))"
  done
}
# The index is whole; the pictures in the middle are damaged.
make:bit-flipped.mp4() {
  cp "$(fixture long-gop-h264.mp4)" "$out"
  flip_bytes 30 60 997
}
# The index itself is damaged.
make:bit-flipped-index.mp4() {
  cp "$(fixture video-only-h264.mp4)" "$out"
  flip_bytes 75 100 61
}

# Hostile: playlists that ask the reader to open other files or addresses.
make:hostile-hls.avi() {
  printf '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nhttp://127.0.0.1:9/secret\n#EXT-X-ENDLIST\n' > "$out"
}
make:hostile-hls-file.avi() {
  printf '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n' > "$out"
}
make:hostile-concat.mp4() { printf 'ffconcat version 1.0\nfile /etc/passwd\n' > "$out"; }
