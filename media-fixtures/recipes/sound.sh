# Sound alone, in every usual wrapping.

cover() { ff -f lavfi -i "$(moving 120x120 1 1)" -frames:v 1 -pix_fmt yuvj420p "$scratch/cover.jpg"; }

make:audio-aac.m4a() { ff -f lavfi -i "$(tone 3)" "${aac[@]}" "$out"; }
make:audio-aac-cover.m4a() {
  cover
  ff -f lavfi -i "$(tone 3)" -i "$scratch/cover.jpg" -map 0 -map 1 "${aac[@]}" -c:v copy \
    -disposition:v attached_pic -metadata title=Tone "$out"
}
make:audio-mp3-cover.mp3() {
  cover
  ff -f lavfi -i "$(tone 3)" -i "$scratch/cover.jpg" -map 0 -map 1 -c:a libmp3lame -b:a 64k \
    -c:v copy -disposition:v attached_pic -id3v2_version 3 -metadata title=Tone "$out"
}
make:audio-opus.ogg() { ff -f lavfi -i "$(tone 3)" "${opus[@]}" "$out"; }
make:audio-vorbis.ogg() { ff -f lavfi -i "$(tone 3)" -c:a libvorbis -q:a 1 "$out"; }
make:audio-flac.flac() { ff -f lavfi -i "$(tone 3)" -c:a flac "$out"; }
make:audio-flac-24bit-96khz.flac() {
  ff -f lavfi -i "$(tone 1)" -c:a flac -ar 96000 -sample_fmt s32 -bits_per_raw_sample 24 "$out"
}
make:audio-pcm.wav() { ff -f lavfi -i "$(tone 1)" -c:a pcm_s16le "$out"; }
make:audio-mono-8khz.wav() { ff -f lavfi -i "$(tone 3)" -ac 1 -ar 8000 -c:a pcm_s16le "$out"; }
# Each channel sounds its own note, so that a swapped or lost one is heard.
make:audio-5-1-aac.m4a() { ff -f lavfi -i "$(surround 2)" -c:a aac -b:a 160k "$out"; }
make:audio-5-1-ac3.ac3() { ff -f lavfi -i "$(surround 2)" -c:a ac3 -b:a 192k "$out"; }
# 44.1 kHz, the rate that does not divide 48 kHz.
make:audio-44100.mp3() { ff -f lavfi -i "$(tone 3)" -ar 44100 -c:a libmp3lame -b:a 64k "$out"; }

surround() {  # SECONDS
  local note channels=
  for note in 220 330 440 55 550 660; do channels+="0.2*sin(2*PI*$note*t)|"; done
  echo "aevalsrc='${channels%|}':c=5.1:s=48000:d=$1"
}
