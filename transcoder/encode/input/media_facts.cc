#include "transcoder/encode/input/media_facts.h"

#include <cmath>
#include <string>

#include "transcoder/encode/input/picture_shape.h"

namespace millrace::encode {
namespace {

using nlohmann::json;

// Limits the tags of a whole file, keys and values together. Facts of several inputs travel in one
// message, and a file may have hundreds of streams with tags.
constexpr size_t kMostTagBytes = 32 * 1024;

// `room` is the rest of that limit, in bytes.
json TagsOf(const AVDictionary* tags, size_t& room) {
  json found = json::object();
  const AVDictionaryEntry* tag = nullptr;
  while ((tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX)) != nullptr) {
    const std::string key(tag->key);
    std::string value = std::string(tag->value).substr(0, 1000);
    if (found.size() >= 64 || key.size() + value.size() > room) continue;
    room -= key.size() + value.size();
    found[key] = std::move(value);
  }
  return found;
}

json TextOrNull(const char* text) { return text != nullptr ? json(text) : json(); }

json RatioOf(AVRational ratio) {
  if (ratio.num <= 0 || ratio.den <= 0) return "1:1";
  return std::to_string(ratio.num) + ":" + std::to_string(ratio.den);
}

json RoundedOrNull(double value) {
  if (!(value > 0)) return nullptr;
  return std::round(value * 1000) / 1000;
}

const char* ScanOf(AVFieldOrder order) {
  switch (order) {
    case AV_FIELD_PROGRESSIVE:
      return "progressive";
    case AV_FIELD_UNKNOWN:
      return nullptr;
    default:
      return "interlaced";
  }
}

void DescribeVideo(const AVFormatContext& format, AVStream* stream, json& to) {
  const AVCodecParameters& codec = *stream->codecpar;
  const AVRational aspect =
      av_guess_sample_aspect_ratio(const_cast<AVFormatContext*>(&format), stream, nullptr);
  const Orientation orientation = OrientationOf(*stream);
  const DisplaySize display =
      DisplaySizeOf({.width = codec.width, .height = codec.height}, aspect, orientation);
  to["width"] = codec.width;
  to["height"] = codec.height;
  to["display_width"] = static_cast<int>(std::lround(display.width));
  to["display_height"] = static_cast<int>(std::lround(display.height));
  to["sample_aspect_ratio"] = RatioOf(aspect);
  to["rotation_degrees"] = orientation.clockwise_degrees;
  to["mirrored"] = orientation.mirrored;
  to["fps"] = RoundedOrNull(stream->avg_frame_rate.den > 0 ? av_q2d(stream->avg_frame_rate) : 0);
  to["pixel_format"] = TextOrNull(av_get_pix_fmt_name(static_cast<AVPixelFormat>(codec.format)));
  to["bit_depth"] = BitDepthOf(codec.format);
  to["scan"] = TextOrNull(ScanOf(codec.field_order));
  to["color"] = {{"primaries", TextOrNull(av_color_primaries_name(codec.color_primaries))},
                 {"transfer", TextOrNull(av_color_transfer_name(codec.color_trc))},
                 {"matrix", TextOrNull(av_color_space_name(codec.color_space))},
                 {"range", TextOrNull(av_color_range_name(codec.color_range))}};
  to["hdr"] = TextOrNull(HdrKindOf(codec.color_trc));
  to["attached_picture"] = IsAttachedPicture(*stream);
}

void DescribeAudio(const AVCodecParameters& codec, json& to) {
  to["sample_rate"] = codec.sample_rate;
  to["channels"] = codec.ch_layout.nb_channels;
  to["channel_layout"] = ChannelLayout(codec.ch_layout).Name();
}

json DescribeStream(const AVFormatContext& format, AVStream* stream, size_t& tag_room) {
  const AVCodecParameters& codec = *stream->codecpar;
  json to = {{"index", stream->index},
             {"kind", TextOrNull(av_get_media_type_string(codec.codec_type))},
             {"codec", CodecName(codec)},
             {"profile", TextOrNull(avcodec_profile_name(codec.codec_id, codec.profile))},
             {"default", (stream->disposition & AV_DISPOSITION_DEFAULT) != 0},
             {"encrypted", IsEncrypted(*stream)},
             {"tags", TagsOf(stream->metadata, tag_room)}};
  to["bitrate_bps"] = codec.bit_rate > 0 ? json(codec.bit_rate) : json();
  to["duration_seconds"] = stream->duration != AV_NOPTS_VALUE
                               ? RoundedOrNull(ToSeconds(stream->duration, stream->time_base))
                               : json();
  if (codec.codec_type == AVMEDIA_TYPE_VIDEO) DescribeVideo(format, stream, to);
  if (codec.codec_type == AVMEDIA_TYPE_AUDIO) DescribeAudio(codec, to);
  return to;
}

}  // namespace

json DescribeMedia(const InputFile& input) {
  const AVFormatContext& format = input.format();
  size_t tag_room = kMostTagBytes;
  json media = {{"format", format.iformat->name},
                {"format_name", TextOrNull(format.iformat->long_name)},
                {"bytes", input.io().size()},
                {"chapters", format.nb_chapters},
                {"tags", TagsOf(format.metadata, tag_room)},
                {"streams", json::array()}};
  media["duration_seconds"] = RoundedOrNull(input.HeaderSeconds().value_or(0));
  media["bitrate_bps"] = format.bit_rate > 0 ? json(format.bit_rate) : json();
  for (unsigned i = 0; i < format.nb_streams; ++i) {
    media["streams"].push_back(DescribeStream(format, format.streams[i], tag_room));
  }
  return media;
}

const char* HdrKindOf(AVColorTransferCharacteristic transfer) {
  switch (transfer) {
    case AVCOL_TRC_SMPTE2084:
      return "pq";
    case AVCOL_TRC_ARIB_STD_B67:
      return "hlg";
    default:
      return nullptr;
  }
}

int BitDepthOf(int pixel_format) {
  const AVPixFmtDescriptor* found = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(pixel_format));
  if (found == nullptr) return 8;
  int deepest = 0;
  for (int i = 0; i < found->nb_components; ++i) deepest = std::max(deepest, found->comp[i].depth);
  return deepest > 0 ? deepest : 8;
}

}  // namespace millrace::encode
