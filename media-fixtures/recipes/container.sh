# One small programme in many wrappings, and files of many streams.

programme=(-f lavfi -i "$(moving 320x180 25 2)" -f lavfi -i "$(tone 2)")

make:mpeg-ts.ts() { ff "${programme[@]}" "${x264[@]}" "${aac[@]}" "$out"; }
make:mkv-h264-aac.mkv() { ff "${programme[@]}" "${x264[@]}" "${aac[@]}" "$out"; }
make:mp4-hevc-aac.mp4() {
  ff "${programme[@]}" -c:v libx265 -preset ultrafast -crf 32 -pix_fmt yuv420p \
    -x265-params "$x265_quiet" -tag:v hvc1 "${aac[@]}" "$out"
}
make:webm-vp9-opus.webm() { ff "${programme[@]}" "${vp9[@]}" -pix_fmt yuv420p "${opus[@]}" "$out"; }
make:webm-vp8-vorbis.webm() {
  ff "${programme[@]}" -c:v libvpx -deadline realtime -cpu-used 8 -b:v 300k -pix_fmt yuv420p \
    -c:a libvorbis -q:a 1 "$out"
}
make:webm-av1-opus.webm() {
  ff "${programme[@]}" -c:v libaom-av1 -usage realtime -cpu-used 8 -crf 45 -b:v 0 -row-mt 0 \
    -pix_fmt yuv420p "${opus[@]}" "$out"
}
make:avi-mpeg4-mp3.avi() {
  ff "${programme[@]}" -c:v mpeg4 -q:v 8 -c:a libmp3lame -b:a 64k \
    -avoid_negative_ts disabled "$out"
}
make:flv-h264-aac.flv() { ff "${programme[@]}" "${x264[@]}" -ar 44100 "${aac[@]}" "$out"; }
make:fragmented.mp4() {
  ff "${programme[@]}" "${x264[@]}" -g 25 "${aac[@]}" -movflags +frag_keyframe+empty_moov+default_base_moof "$out"
}
# As cameras write it: ten-bit 4:2:2, uncompressed sound, a timecode track.
make:prores-pcm.mov() {
  ff -f lavfi -i "$(moving 160x90 25 1)" -f lavfi -i "$(tone 1)" -c:v prores_ks -profile:v 0 \
    -pix_fmt yuv422p10le -c:a pcm_s24le -timecode 01:00:00:00 "$out"
}
make:surround-5-1.mp4() {
  ff -f lavfi -i "$(moving 320x180 25 2)" -f lavfi -i "$(surround 2)" "${x264[@]}" -c:a aac \
    -b:a 160k "$out"
}
make:surround-5-1-ac3.ts() {
  ff -f lavfi -i "$(moving 320x180 25 2)" -f lavfi -i "$(surround 2)" "${x264[@]}" -c:a ac3 \
    -b:a 192k "$out"
}

subtitles() {
  printf '1\n00:00:00,500 --> 00:00:01,000\n%s\n\n2\n00:00:01,200 --> 00:00:01,800\n%s\n' "$1" "$2" \
    > "$scratch/subtitles.srt"
}
many_tracks() {  # SUBTITLE_CODEC
  subtitles 'first words' 'last words'
  printf ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n' > "$scratch/chapters"
  printf '[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Two\n' >> "$scratch/chapters"
  ff "${programme[@]}" -f lavfi -i "$(tone 2 880)" -i "$scratch/subtitles.srt" -i "$scratch/chapters" \
    -map 0 -map 1 -map 2 -map 3 -map_chapters 4 "${x264[@]}" "${aac[@]}" -c:s "$1" \
    -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu -metadata:s:s:0 language=eng \
    -disposition:a:0 default -disposition:a:1 0 "$out"
}
make:multi-track.mp4() { many_tracks mov_text; }
make:multi-track.mkv() { many_tracks srt; }

# What is in a file counts, not what it is called.
make:wrong-extension-mp4.avi() { cp "$(fixture video-only-h264.mp4)" "$out"; }
make:no-extension() { cp "$(fixture mkv-h264-aac.mkv)" "$out"; }
