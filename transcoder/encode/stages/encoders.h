#pragma once

#include <optional>
#include <string>

#include "core/model/encode_spec.h"
#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// The one encoder that is used for a codec. REQUIRES: not kCopy. Throws Error{kEncoderUnavailable}.
const AVCodec& FindEncoder(VideoCodec codec);
const AVCodec& FindEncoder(AudioCodec codec);

struct VideoEncoderOptions {
  VideoSpec spec;
  AVRational time_base{1, 90000};
  AVRational frame_rate{0, 1};  // what the input claims, for rate control only; 0/1: unknown
  int threads = 0;              // 0: the encoder's own choice
  bool global_header = false;   // the container wants the parameter sets out of band
};
// Opens the encoder for frames like `first`, whose colour tags, size and HDR side data it takes
// over. Throws Error{kEncoderUnavailable}, or kNoMatchingStreams if the encoder cannot make that
// size.
CodecPtr OpenVideoEncoder(const AVFrame& first, const VideoEncoderOptions& options);

struct AudioEncoderOptions {
  AudioSpec spec;
  bool global_header = false;
};
CodecPtr OpenAudioEncoder(const AVFrame& first, const AudioEncoderOptions& options);

// The format of samples that an encoder names first.
AVSampleFormat PreferredSampleFormat(const AVCodec& encoder);

// Samples in each frame but the last; 0 if the encoder takes any number.
int FrameSizeOf(const AVCodec& encoder, int sample_rate_hz);

// Returns a time base for pictures with timestamps in `input`: exact for those, fine enough for any
// container, and accepted by encoders.
AVRational FineTimeBase(AVRational input, std::optional<double> fps);

}  // namespace millrace::encode
