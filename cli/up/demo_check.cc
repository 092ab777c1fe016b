#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "cli/base/text.h"
#include "cli/up/demo.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

constexpr int kMaxWidth = 1280;
constexpr int kMaxHeight = 720;

bool HasStream(const json& media, std::string_view kind) {
  if (!media.is_object() || !media.contains("streams")) return false;
  return std::ranges::any_of(media["streams"], [kind](const json& stream) {
    return stream.value("kind", "") == kind && !stream.value("attached_picture", false);
  });
}

double SecondsOf(const json& object) {
  const auto found = object.is_object() ? object.find("duration_seconds") : object.end();
  return found == object.end() || !found->is_number() ? 0 : found->get<double>();
}

bool IsPicture(const json& file) { return file.value("media_type", "").starts_with("image/"); }

// Returns half a second, or two percent of the duration if that is more.
bool IsClose(double seconds, double wanted) {
  return std::abs(seconds - wanted) <= std::max(0.5, wanted * 0.02);
}

}  // namespace

json DemoOutputs(const json& media) {
  if (HasStream(media, "audio") && !HasStream(media, "video")) {
    return {{{"name", "audio"}, {"preset", "audio-aac"}}};
  }
  return {{{"name", "web"}, {"preset", "mp4-h264-720p"}},
          {{"name", "poster"}, {"preset", "poster"}}};
}

std::vector<std::string> CheckDownloads(const json& job, const std::vector<DownloadedFile>& files) {
  const json media = job.at("input").value("media", json());
  // With a warning the job has explained why its outputs are shorter than the input's header says.
  const bool warned = !job.value("warnings", json::array()).empty();
  std::vector<std::string> problems;
  for (const auto& [file, path] : files) {
    const std::string name = Printable(file.at("path").get<std::string>());
    const json video = file.value("video", json());
    if (file.at("bytes") == 0) problems.push_back(name + " is empty");
    if (video.is_object() && !IsPicture(file) &&
        (video.value("width", 0) > kMaxWidth || video.value("height", 0) > kMaxHeight)) {
      problems.push_back(fmt::format("{} is {}x{}, more than {}x{}", name, video.value("width", 0),
                                     video.value("height", 0), kMaxWidth, kMaxHeight));
    }
    if (IsPicture(file)) continue;
    for (const char* kind : {"video", "audio"}) {
      if (HasStream(media, kind) == file.value(kind, json()).is_object()) continue;
      problems.push_back(name + (HasStream(media, kind) ? " lacks the " : " has made up ") + kind +
                         " of the input");
    }
    const double wanted = SecondsOf(media);
    if (wanted > 0 && !warned && !IsClose(SecondsOf(file), wanted)) {
      problems.push_back(name + " lasts " + FormatShortDuration(SecondsOf(file)) + ", the input " +
                         FormatShortDuration(wanted));
    }
  }
  return problems;
}

}  // namespace millrace::cli
