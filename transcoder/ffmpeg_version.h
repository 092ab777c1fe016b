#pragma once

// Every difference between the versions of FFmpeg that the encoder is built with: 5.1 (Debian 12),
// 6.1 (Ubuntu 24.04) and 7.1 (Debian 13). No other file asks for a version.
//
// All tests run with 5.1. With 7.1 the encoder compiles; its tests have not run there yet. Nothing
// was compiled with 6.1: its conditions are the library versions, named below, in which FFmpeg
// brought each function in.

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
}

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::encode {

// The duration of a frame in its time base; 0: unknown. AVFrame::duration is new in libavutil
// 57.30 (FFmpeg 6.0), which deprecates pkt_duration.
inline int64_t& DurationOf(AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
  return frame.duration;
#else
  return frame.pkt_duration;
#endif
}

// Where the packet of a decoded frame began in the input. AVFrame::pkt_pos is deprecated since
// libavutil 58 (FFmpeg 6.0), where a decoder hands a packet's `opaque` on to its frames.
#if LIBAVUTIL_VERSION_MAJOR >= 58

inline void KeepPositions(AVCodecContext& decoder) { decoder.flags |= AV_CODEC_FLAG_COPY_OPAQUE; }
// Call for each packet before it is decoded.
inline void NotePosition(AVPacket& packet) {
  packet.opaque = reinterpret_cast<void*>(static_cast<intptr_t>(packet.pos + 1));
}
// In bytes; -1: unknown.
inline int64_t PositionOf(const AVFrame& frame) {
  return static_cast<int64_t>(reinterpret_cast<intptr_t>(frame.opaque)) - 1;
}

#else

inline void KeepPositions(AVCodecContext& /*decoder*/) {}
inline void NotePosition(AVPacket& /*packet*/) {}
inline int64_t PositionOf(const AVFrame& frame) { return frame.pkt_pos; }

#endif

// Interlacing is a flag of a frame since libavutil 58.7 (FFmpeg 6.1).
inline bool IsInterlaced(const AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
  return (frame.flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
  return frame.interlaced_frame != 0;
#endif
}

inline void MarkProgressive(AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
  frame.flags &= ~AV_FRAME_FLAG_INTERLACED;
#else
  frame.interlaced_frame = 0;
#endif
}

// The values that an encoder takes; empty: any. AVCodec's lists are deprecated since libavcodec
// 61.13 (FFmpeg 7.1), which has avcodec_get_supported_config in their place.
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)

template <typename T>
std::span<const T> SupportedBy(const AVCodec& encoder, AVCodecConfig what) {
  const void* values = nullptr;
  int count = 0;
  if (avcodec_get_supported_config(nullptr, &encoder, what, 0, &values, &count) < 0) return {};
  return {static_cast<const T*>(values), values != nullptr ? static_cast<size_t>(count) : 0};
}

inline std::span<const AVSampleFormat> SampleFormatsOf(const AVCodec& encoder) {
  return SupportedBy<AVSampleFormat>(encoder, AV_CODEC_CONFIG_SAMPLE_FORMAT);
}
inline std::span<const int> SampleRatesOf(const AVCodec& encoder) {
  return SupportedBy<int>(encoder, AV_CODEC_CONFIG_SAMPLE_RATE);
}
inline std::span<const AVChannelLayout> ChannelLayoutsOf(const AVCodec& encoder) {
  return SupportedBy<AVChannelLayout>(encoder, AV_CODEC_CONFIG_CHANNEL_LAYOUT);
}

#else

// A list that ends with an item for which `is_end` holds, or null.
template <typename T, typename IsEnd>
std::span<const T> ListOf(const T* first, IsEnd is_end) {
  size_t count = 0;
  while (first != nullptr && !is_end(first[count])) ++count;
  return {first, count};
}

inline std::span<const AVSampleFormat> SampleFormatsOf(const AVCodec& encoder) {
  return ListOf(encoder.sample_fmts,
                [](AVSampleFormat each) { return each == AV_SAMPLE_FMT_NONE; });
}
inline std::span<const int> SampleRatesOf(const AVCodec& encoder) {
  return ListOf(encoder.supported_samplerates, [](int each) { return each == 0; });
}
inline std::span<const AVChannelLayout> ChannelLayoutsOf(const AVCodec& encoder) {
  return ListOf(encoder.ch_layouts,
                [](const AVChannelLayout& each) { return each.nb_channels == 0; });
}

#endif

// Side data of a whole stream. It moved from AVStream to its AVCodecParameters with libavcodec
// 60.29 and libavformat 60.15 (both FFmpeg 6.1).
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)

inline std::span<const AVPacketSideData> SideDataOf(const AVStream& stream) {
  return {stream.codecpar->coded_side_data,
          static_cast<size_t>(stream.codecpar->nb_coded_side_data)};
}
// Returns room for `bytes` bytes in the place of what the stream had of that kind; null if memory
// ran out.
inline uint8_t* NewSideData(AVStream& stream, AVPacketSideDataType kind, size_t bytes) {
  AVCodecParameters& parameters = *stream.codecpar;
  AVPacketSideData* made = av_packet_side_data_new(&parameters.coded_side_data,
                                                   &parameters.nb_coded_side_data, kind, bytes, 0);
  return made != nullptr ? made->data : nullptr;
}

#else

inline std::span<const AVPacketSideData> SideDataOf(const AVStream& stream) {
  return {stream.side_data, static_cast<size_t>(stream.nb_side_data)};
}
// Returns room for `bytes` bytes in the place of what the stream had of that kind; null if memory
// ran out.
inline uint8_t* NewSideData(AVStream& stream, AVPacketSideDataType kind, size_t bytes) {
  return av_stream_new_side_data(&stream, kind, bytes);
}

#endif

// The first side data of that kind; empty if the stream has none.
inline std::span<const uint8_t> FindSideData(const AVStream& stream, AVPacketSideDataType kind) {
  for (const AVPacketSideData& each : SideDataOf(stream)) {
    if (each.type == kind) return {each.data, each.size};
  }
  return {};
}

// The type of the bytes that AVIOContext hands to a write function: const since libavformat 61
// (FFmpeg 7.0).
#if LIBAVFORMAT_VERSION_MAJOR >= 61
using WrittenByte = const uint8_t;
#else
using WrittenByte = uint8_t;
#endif

// Filter graphs negotiate the matrix and range of colours since libavfilter 10 (FFmpeg 7.0), and
// their sources want to be told them.
inline constexpr bool kFiltersNegotiateColours = LIBAVFILTER_VERSION_MAJOR >= 10;

}  // namespace millrace::encode
