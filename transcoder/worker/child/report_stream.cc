#include "transcoder/worker/child/report_stream.h"

#include <algorithm>

#include "core/json_depth.h"

namespace millrace {
namespace {

void CheckSize(std::string_view what, size_t bytes, size_t limit) {
  if (bytes <= limit) return;
  throw Error(ErrorCode::kProtocolError, std::string(what) + " has " + std::to_string(bytes) +
                                             " bytes, at most " + std::to_string(limit) +
                                             " are passed on");
}

Report ReportFrom(const nlohmann::json& json, size_t line_bytes) {
  const std::string type = json.at("type");
  if (type == "started") return ReportStarted{};
  if (type == "media") {
    const nlohmann::json& media = json.at("media");
    // As it would be sent: the numbers of a line may be shorter than they are printed again.
    CheckSize("the description of the input", media.dump().size(), kMaxMediaBytes);
    return ReportMedia{media};
  }
  if (type == "progress") {
    CheckSize("a report of progress", line_bytes, kMaxProgressBytes);
    return ProgressFromJson(json.at("progress"));
  }
  if (type == "result") return ReportResult{ManifestFromJson(json.at("manifest"))};
  if (type == "error") return ErrorFromJson(json.at("error"));
  throw Error(ErrorCode::kProtocolError, "unknown type of report: '" + type + "'");
}

}  // namespace

Report ParseReport(std::string_view line) {
  if (JsonDepth(line) > kMaxReportDepth) {
    throw Error(ErrorCode::kProtocolError,
                "a report is nested deeper than " + std::to_string(kMaxReportDepth) + " levels");
  }
  try {
    return ReportFrom(nlohmann::json::parse(line), line.size());
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

}  // namespace millrace
