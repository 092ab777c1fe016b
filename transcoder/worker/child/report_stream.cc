#include "transcoder/worker/child/report_stream.h"

#include <algorithm>

#include "core/base/json_depth.h"

namespace millrace::worker {
namespace {

// Returns `key` of a report. Checks its size as it would be sent, because numbers may print longer
// than they were written.
const nlohmann::json& Part(const nlohmann::json& report, const char* key, size_t limit) {
  const nlohmann::json& part = report.at(key);
  const size_t bytes = part.dump().size();
  if (bytes <= limit) return part;
  throw Error(ErrorCode::kProtocolError, std::string(key) + " of a report has " +
                                             std::to_string(bytes) + " bytes, at most " +
                                             std::to_string(limit) + " are passed on");
}

Manifest ManifestOf(const nlohmann::json& report) {
  const nlohmann::json& manifest = Part(report, "manifest", kMaxEndBytes);
  Part(manifest, "media", kMaxMediaBytes);
  return ManifestFromJson(manifest);
}

Report ReportFrom(const nlohmann::json& json) {
  const std::string type = json.at("type");
  if (type == "started") return ReportStarted{};
  if (type == "media") return ReportMedia{Part(json, "media", kMaxMediaBytes)};
  if (type == "progress") return ProgressFromJson(Part(json, "progress", kMaxProgressBytes));
  if (type == "result") return ReportResult{ManifestOf(json)};
  if (type == "error") return ErrorFromJson(Part(json, "error", kMaxEndBytes));
  throw Error(ErrorCode::kProtocolError, "unknown type of report: '" + type + "'");
}

}  // namespace

Report ParseReport(std::string_view line) {
  if (JsonDepth(line) > kMaxReportDepth) {
    throw Error(ErrorCode::kProtocolError,
                "a report is nested deeper than " + std::to_string(kMaxReportDepth) + " levels");
  }
  try {
    return ReportFrom(nlohmann::json::parse(line));
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError, std::string("not a report: ") + error.what());
  }
}

std::vector<std::string> LineSplitter::Feed(std::span<const char> bytes) {
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    const auto newline = std::ranges::find(bytes, '\n');
    const auto length = static_cast<size_t>(newline - bytes.begin());
    const bool complete = newline != bytes.end();
    if (!skipping_ && partial_.size() + length > kMaxReportLineBytes) {
      skipping_ = true;
      ++dropped_;
      partial_ = std::string();
    }
    if (!skipping_) partial_.append(bytes.data(), length);
    if (complete) {
      if (!skipping_ && !partial_.empty()) lines.push_back(std::move(partial_));
      partial_.clear();
      skipping_ = false;
    }
    bytes = bytes.subspan(length + (complete ? 1 : 0));
  }
  return lines;
}

}  // namespace millrace::worker
