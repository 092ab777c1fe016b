#include "transcoder/worker/child/report_stream.h"

#include <algorithm>

namespace millrace {
namespace {

Report ReportFrom(const nlohmann::json& json) {
  const std::string type = json.at("type");
  if (type == "started") return ReportStarted{};
  if (type == "media") return ReportMedia{json.at("media")};
  if (type == "progress") return ProgressFromJson(json.at("progress"));
  if (type == "result") return ReportResult{ManifestFromJson(json.at("manifest"))};
  if (type == "error") return ErrorFromJson(json.at("error"));
  throw Error(ErrorCode::kProtocolError, "unknown type of report: '" + type + "'");
}

}  // namespace

Report ParseReport(std::string_view line) {
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

}  // namespace millrace
