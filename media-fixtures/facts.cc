#include "media-fixtures/facts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <sstream>

#include "media-fixtures/process.h"

namespace millrace::fixtures {
namespace {

using json = nlohmann::ordered_json;

double Milliseconds(double seconds) { return std::round(seconds * 1000) / 1000; }

// ffprobe writes numbers as strings, and leaves out what it does not know.
std::optional<double> Number(const json& object, const char* key) {
  if (!object.contains(key)) return std::nullopt;
  const json& value = object[key];
  if (value.is_number()) return value.get<double>();
  char* end = nullptr;
  const std::string text = value.get<std::string>();
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return std::nullopt;
  return number;
}

double Ratio(const std::string& text) {  // "16:11" or "25/1"
  double numerator = 0, denominator = 0;
  if (std::sscanf(text.c_str(), "%lf%*[:/]%lf", &numerator, &denominator) != 2) return 0;
  return denominator == 0 ? 0 : numerator / denominator;
}

// How the packets of one stream lie in time. What an edit list hides is left out.
struct Timeline {
  double start = std::numeric_limits<double>::infinity();
  double end = -std::numeric_limits<double>::infinity();
  int packets = 0;
  int key_packets = 0;
  std::vector<double> times;

  void Add(const json& packet) {
    ++packets;
    const std::string flags = packet.value("flags", "");
    if (flags.find('K') != std::string::npos) ++key_packets;
    if (flags.find('D') != std::string::npos) return;
    std::optional<double> time = Number(packet, "pts_time");
    if (!time) time = Number(packet, "dts_time");
    if (!time) return;
    times.push_back(*time);
    start = std::min(start, *time);
    end = std::max(end, *time + Number(packet, "duration_time").value_or(0));
  }
  bool empty() const { return times.empty(); }

  struct Gaps {
    double least, most;
  };
  std::optional<Gaps> FrameGaps() {
    std::sort(times.begin(), times.end());
    if (times.size() < 3) return std::nullopt;
    Gaps gaps{std::numeric_limits<double>::infinity(), 0};
    for (size_t i = 1; i < times.size(); ++i) {
      gaps.least = std::min(gaps.least, times[i] - times[i - 1]);
      gaps.most = std::max(gaps.most, times[i] - times[i - 1]);
    }
    return gaps;
  }
};

std::string HdrOf(const json& stream, const json& first_frame) {
  const std::string transfer = stream.value("color_transfer", "");
  if (transfer == "arib-std-b67") return "hlg";
  if (transfer != "smpte2084") return "none";
  for (const json& side : first_frame.value("side_data_list", json::array())) {
    if (side.value("side_data_type", "") == "Mastering display metadata") return "hdr10";
  }
  return "pq";
}

int RotationOf(const json& stream) {
  for (const json& side : stream.value("side_data_list", json::array())) {
    // ffprobe counts counter-clockwise; players and people count clockwise.
    if (side.contains("rotation")) return ((-side["rotation"].get<int>()) % 360 + 360) % 360;
  }
  return 0;
}

std::string ScanOf(const json& first_frame) {
  if (first_frame.value("interlaced_frame", 0) == 0) return "progressive";
  return first_frame.value("top_field_first", 0) != 0 ? "tff" : "bff";
}

void AddVideoFacts(json& facts, const json& stream, const json& first_frame, Timeline& timeline) {
  const int stored_width = stream.value("width", 0), stored_height = stream.value("height", 0);
  const std::string sar = stream.value("sample_aspect_ratio", "1:1");
  const double aspect = Ratio(sar) > 0 ? Ratio(sar) : 1;
  int width = static_cast<int>(std::lround(stored_width * aspect)), height = stored_height;
  const int rotation = RotationOf(stream);
  if (rotation % 180 == 90) std::swap(width, height);
  facts["width"] = width;
  facts["height"] = height;
  facts["stored_width"] = stored_width;
  facts["stored_height"] = stored_height;
  facts["sar"] = sar;
  facts["rotation"] = rotation;
  facts["pix_fmt"] = stream.value("pix_fmt", "unknown");
  facts["scan"] = ScanOf(first_frame);
  facts["hdr"] = HdrOf(stream, first_frame);
  facts["color"] = {{"primaries", stream.value("color_primaries", "unknown")},
                    {"transfer", stream.value("color_transfer", "unknown")},
                    {"matrix", stream.value("color_space", "unknown")},
                    {"range", stream.value("color_range", "unknown")}};
  facts["attached_pic"] = stream["disposition"].value("attached_pic", 0) != 0;
  facts["keyframes"] = timeline.key_packets;
  const auto gaps = timeline.FrameGaps();
  // Containers that count in milliseconds shift frames by up to one.
  const bool vfr = gaps && gaps->most - gaps->least > 0.0021;
  facts["vfr"] = vfr;
  if (vfr) {
    facts["least_gap_seconds"] = Milliseconds(gaps->least);
    facts["most_gap_seconds"] = Milliseconds(gaps->most);
  } else {
    facts["frame_rate"] = stream.value("avg_frame_rate", "0/0");
  }
}

void AddAudioFacts(json& facts, const json& stream) {
  facts["channels"] = stream.value("channels", 0);
  facts["channel_layout"] = stream.value("channel_layout", "unknown");
  facts["sample_rate"] = static_cast<int>(Number(stream, "sample_rate").value_or(0));
}

json StreamFacts(const json& stream, const json& first_frame, Timeline& timeline) {
  const std::string type = stream.value("codec_type", "unknown");
  json facts = {{"type", type}, {"codec", stream.value("codec_name", "unknown")}};
  facts["packets"] = timeline.packets;
  // What the decoder gave, which may be less than what the file holds.
  if (type == "video" || type == "audio") {
    facts["frames"] = static_cast<int>(Number(stream, "nb_read_frames").value_or(0));
  }
  if (!timeline.empty()) {
    const double start = Number(stream, "start_time").value_or(timeline.start);
    facts["start_seconds"] = Milliseconds(start);
    facts["seconds"] = Milliseconds(timeline.end - start);
  }
  const json tags = stream.value("tags", json::object());
  if (tags.value("language", "und") != "und") facts["language"] = tags["language"];
  if (type == "video") AddVideoFacts(facts, stream, first_frame, timeline);
  if (type == "audio") AddAudioFacts(facts, stream);
  return facts;
}

std::optional<json> Ffprobe(const std::filesystem::path& file, std::vector<std::string> options) {
  std::vector<std::string> command = {"ffprobe", "-v", "quiet", "-protocol_whitelist", "file"};
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), {"-of", "json", "-i", "file:" + file.string()});
  const ProcessResult result = RunProcess(std::move(command));
  json parsed = json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  if (result.exit_code != 0 || parsed.is_discarded()) return std::nullopt;
  return parsed;
}

// The first decoded frame of the first real video stream; null where there is none.
json FirstFrame(const std::filesystem::path& file) {
  const auto read =
      Ffprobe(file, {"-select_streams", "V:0", "-read_intervals", "%+#1", "-show_frames"});
  if (!read || !read->contains("frames") || (*read)["frames"].empty()) return json::object();
  return (*read)["frames"][0];
}

// Runs ffmpeg over one stream and returns what it writes to its standard output.
std::string Decode(const std::filesystem::path& file, std::vector<std::string> options) {
  std::vector<std::string> command = {"ffmpeg",
                                      "-v",
                                      "quiet",
                                      "-nostdin",
                                      "-protocol_whitelist",
                                      "file,pipe",
                                      "-copyts",
                                      "-i",
                                      "file:" + file.string()};
  command.insert(command.end(), options.begin(), options.end());
  return RunProcess(std::move(command)).out;
}

// The times at which a filter's value rises to the level or above, having been below it for at
// least a fifth of a second. `printed` is what ffmpeg's metadata filter prints.
std::vector<double> Onsets(const std::string& printed, const std::string& key, double level) {
  std::vector<double> onsets;
  std::istringstream lines(printed);
  std::string line;
  double time = 0, last_high = -1;
  while (std::getline(lines, line)) {
    if (const size_t at = line.find("pts_time:"); at != std::string::npos) {
      time = std::strtod(line.c_str() + at + 9, nullptr);
    } else if (line.rfind(key + "=", 0) == 0) {
      if (std::strtod(line.c_str() + key.size() + 1, nullptr) < level) continue;
      if (time - last_high > 0.2) onsets.push_back(Milliseconds(time));
      last_high = time;
    }
  }
  return onsets;
}

std::string ColourName(const unsigned char* rgb) {
  static const std::map<std::array<int, 3>, std::string> kNames = {
      {{1, 0, 0}, "red"},    {{0, 1, 0}, "green"}, {{0, 0, 1}, "blue"},
      {{1, 1, 0}, "yellow"}, {{1, 1, 1}, "white"}, {{0, 0, 0}, "black"}};
  std::array<int, 3> key;
  for (int i = 0; i < 3; ++i) {
    // Far from both ends is no pure colour. Lossy coding and colour conversion move it a little.
    if (rgb[i] > 48 && rgb[i] < 207) return "?";
    key[i] = rgb[i] >= 207 ? 1 : 0;
  }
  const auto found = kNames.find(key);
  return found == kNames.end() ? "?" : found->second;
}

}  // namespace

nlohmann::ordered_json MeasureFacts(const std::filesystem::path& file) {
  const auto read =
      Ffprobe(file, {"-count_frames", "-show_streams", "-show_chapters", "-show_entries",
                     "format=format_name,start_time,duration", "-show_entries",
                     "packet=stream_index,pts_time,dts_time,duration_time,flags"});
  if (!read || !read->contains("format")) return {{"readable", false}};
  std::map<int, Timeline> timelines;
  for (const json& packet : read->value("packets", json::array())) {
    timelines[packet["stream_index"].get<int>()].Add(packet);
  }
  const json first_frame = FirstFrame(file);
  const json& format = (*read)["format"];
  json facts = {{"readable", true}, {"container", format.value("format_name", "unknown")}};
  const auto promised = Number(format, "duration");
  facts["duration_seconds"] = promised ? json(Milliseconds(*promised)) : json(nullptr);
  facts["chapters"] = read->value("chapters", json::array()).size();
  facts["streams"] = json::array();
  Timeline whole;
  for (const json& stream : (*read)["streams"]) {
    Timeline& timeline = timelines[stream["index"].get<int>()];
    facts["streams"].push_back(StreamFacts(stream, first_frame, timeline));
    const std::string type = stream.value("codec_type", "");
    if ((type != "video" && type != "audio") || timeline.empty()) continue;
    if (stream["disposition"].value("attached_pic", 0) != 0) continue;
    whole.start = std::min(whole.start, Number(stream, "start_time").value_or(timeline.start));
    whole.end = std::max(whole.end, timeline.end);
  }
  if (whole.end > whole.start) {
    facts["start_seconds"] = Milliseconds(whole.start);
    facts["seconds"] = Milliseconds(whole.end - whole.start);
  }
  return facts;
}

std::vector<std::string> MeasureCorners(const std::filesystem::path& file) {
  // Four by four rather than two by two keeps the seams out of the outer samples.
  const std::string pixels =
      Decode(file, {"-map", "0:V:0", "-frames:v", "1", "-vf", "scale=4:4:flags=area", "-pix_fmt",
                    "rgb24", "-f", "rawvideo", "pipe:1"});
  if (pixels.size() != 4 * 4 * 3) return {};
  const auto* rgb = reinterpret_cast<const unsigned char*>(pixels.data());
  std::vector<std::string> corners;
  for (const int sample : {0, 3, 12, 15}) corners.push_back(ColourName(rgb + sample * 3));
  return corners;
}

double SyncMarks::WorstOffset() const {
  double worst = 0;
  for (size_t i = 0; i < flashes.size(); ++i) {
    worst = std::max(worst, std::abs(flashes[i] - beeps[i]));
  }
  return Milliseconds(worst);
}

SyncMarks MeasureSync(const std::filesystem::path& file) {
  const std::string light = "lavfi.signalstats.YAVG", loud = "lavfi.astats.Overall.RMS_level";
  SyncMarks marks;
  marks.flashes = Onsets(
      Decode(file, {"-map", "0:V:0", "-vf",
                    "scale=16:16,format=gray,signalstats,metadata=print:key=" + light + ":file=-",
                    "-f", "null", "-"}),
      light, 128);
  marks.beeps = Onsets(
      Decode(file,
             {"-map", "0:a:0", "-af",
              "aresample=48000,asetnsamples=n=96,astats=metadata=1:reset=1,ametadata=print:key=" +
                  loud + ":file=-",
              "-f", "null", "-"}),
      loud, -25);
  return marks;
}

}  // namespace millrace::fixtures
