# Time: sync, late starts, edit lists, durations that are missing or wrong.

make:av-sync.mp4() {
  ff -f lavfi -i "$(flashes 320x180 25 10)" -f lavfi -i "$(beeps 10)" "${x264[@]}" "${aac[@]}" "$out"
}
make:av-sync-vfr.mkv() {
  ff -f lavfi -i "$(flashes 320x180 50 6)" -f lavfi -i "$(beeps 6)" \
    -vf "select='lt(mod(n,50),4)+eq(mod(n,7),0)'" -vsync vfr "${x264[@]}" "${aac[@]}" "$out"
}
# The picture begins half a second after the sound.
make:start-offset-video-late.mp4() { late_stream v; }
make:start-offset-audio-late.mkv() { late_stream a; }
make:start-offset-ts.ts() {
  ff -f lavfi -i "$(flashes 320x180 25 4)" -f lavfi -i "$(beeps 4)" "${x264[@]}" "${aac[@]}" \
    -output_ts_offset 10 "$out"
}
late_stream() {  # v|a
  local late=trim=start=0.5 alate=anull
  [[ $1 == a ]] && late=null alate=atrim=start=0.5
  # The timestamps stay as they are after the trim: that is the gap.
  ff -f lavfi -i "$(flashes 320x180 25 4)" -f lavfi -i "$(beeps 4)" -vf "$late" -af "$alate" \
    -vsync vfr "${x264[@]}" "${aac[@]}" "$out"
}
# Cut without encoding: frames before 1.6 s are there for the decoder, and the
# edit list hides them.
make:edit-list.mp4() {
  ff -ss 1.6 -i "$(fixture av-sync.mp4)" -c copy "$out"
}
make:audio-shorter-than-video.mp4() {
  ff -f lavfi -i "$(moving 320x180 25 3)" -f lavfi -i "$(tone 1)" "${x264[@]}" "${aac[@]}" "$out"
}
make:video-shorter-than-audio.mp4() {
  ff -f lavfi -i "$(moving 320x180 25 1)" -f lavfi -i "$(tone 3)" "${x264[@]}" "${aac[@]}" "$out"
}
# A live recording: the muxer could not go back to write how long it is.
make:no-duration-live.webm() {
  ff -i "$(fixture webm-vp9-opus.webm)" -c copy -f webm -live 1 pipe:1 > "$out"
}
# The header claims twenty years.
make:lying-duration.mkv() {
  cp "$(fixture mkv-h264-aac.mkv)" "$out"
  # Matroska's Duration: identifier 4489, length 8, milliseconds as a double.
  replace_bytes "$out" $(($(offset_of "$out" '\x44\x89\x88') + 3)) '\x42\x62\x6e\x05\x40\x00\x00\x00'
}
