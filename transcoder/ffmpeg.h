#pragma once

// FFmpeg for the encoder: its headers, one owning type for each of its types, and errors with its
// own texts. No other file frees what FFmpeg allocates.

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/dict.h>
#include <libavutil/frame.h>
#include <libavutil/mathematics.h>
#include <libavutil/pixdesc.h>
}

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "transcoder/ffmpeg_version.h"

namespace millrace::encode {

struct FfmpegDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(AVCodecParameters* parameters) const { avcodec_parameters_free(&parameters); }
  void operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }
};
// Demuxers and muxers are the same type to FFmpeg and end differently.
struct DemuxerDeleter {
  void operator()(AVFormatContext* demuxer) const { avformat_close_input(&demuxer); }
};
struct MuxerDeleter {
  void operator()(AVFormatContext* muxer) const { avformat_free_context(muxer); }
};

using PacketPtr = std::unique_ptr<AVPacket, FfmpegDeleter>;
using FramePtr = std::unique_ptr<AVFrame, FfmpegDeleter>;
using CodecPtr = std::unique_ptr<AVCodecContext, FfmpegDeleter>;
using ParametersPtr = std::unique_ptr<AVCodecParameters, FfmpegDeleter>;
using GraphPtr = std::unique_ptr<AVFilterGraph, FfmpegDeleter>;
using DemuxerPtr = std::unique_ptr<AVFormatContext, DemuxerDeleter>;
using MuxerPtr = std::unique_ptr<AVFormatContext, MuxerDeleter>;

// Each throws Error{kOutOfMemory} instead of returning null.
PacketPtr MakePacket();
FramePtr MakeFrame();
// A new reference to the same data; costs no copy.
PacketPtr Share(const AVPacket& packet);
FramePtr Share(const AVFrame& frame);
CodecPtr MakeCodec(const AVCodec& codec);
ParametersPtr CopyOf(const AVCodecParameters& parameters);
GraphPtr MakeGraph();

// Options for a call of FFmpeg, which takes out those that it knows.
class Options {
 public:
  Options() = default;
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  ~Options() { av_dict_free(&dictionary_); }

  void Set(const char* key, const std::string& value);
  void Set(const char* key, int64_t value);
  AVDictionary** get() { return &dictionary_; }
  // Throws Error{kInternal} if an option is left, and names it: a typing error of ours.
  void CheckAllTaken(const char* by) const;

 private:
  AVDictionary* dictionary_ = nullptr;
};

// A channel layout with the lifetime of a value.
class ChannelLayout {
 public:
  ChannelLayout() = default;
  // The usual layout of that many channels, e.g. stereo for 2.
  explicit ChannelLayout(int channels) { av_channel_layout_default(&layout_, channels); }
  explicit ChannelLayout(const AVChannelLayout& layout);
  ChannelLayout(const ChannelLayout& other) : ChannelLayout(other.layout_) {}
  ChannelLayout& operator=(const ChannelLayout& other);
  ~ChannelLayout() { av_channel_layout_uninit(&layout_); }

  const AVChannelLayout& get() const { return layout_; }
  int channels() const { return layout_.nb_channels; }
  // FFmpeg's description, e.g. "5.1(side)".
  std::string Name() const;

 private:
  AVChannelLayout layout_{};
};

// "Invalid data found when processing input" for AVERROR_INVALIDDATA, and so on.
std::string ErrorText(int rc);

// Returns `rc` if it is not negative. Otherwise throws an Error with FFmpeg's own words after
// `what` ("open input: Invalid data …") and {"ffmpeg_error": rc} in its context. The code is
// kOutOfMemory or kWorkerDiskFull where FFmpeg says so, else `code`.
int Check(int rc, std::string_view what, ErrorCode code = ErrorCode::kEncodeFailed);

inline constexpr AVRational kMicroseconds{1, AV_TIME_BASE};

double ToSeconds(int64_t timestamp, AVRational time_base);

}  // namespace millrace::encode
