#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace millrace::cli {

// One row of a progress display: a job, an upload or a download. A plain value.
struct ProgressRow {
  enum class Outcome { kNone, kGood, kBad };

  std::string label;  // printable
  std::string phase;  // "uploading", "queued", "transcoding", "succeeded", …
  int percent = 0;
  double fps = 0;
  double speed = 0;  // seconds of media per second
  std::optional<double> eta_seconds;
  std::optional<int64_t> queue_position;
  std::string remark;  // e.g. that the service is unreachable
  Outcome outcome = Outcome::kNone;

  bool operator==(const ProgressRow&) const = default;
};

// Reads the JSON of GET /v1/jobs/{id}.
ProgressRow RowOf(const nlohmann::json& job);
ProgressRow UploadRow(const std::string& label, int64_t done, std::optional<int64_t> total);
ProgressRow DownloadRow(const std::string& label, int64_t done, std::optional<int64_t> total);
// The size from which a transfer is shown: a smaller one ends before its row could be read.
inline constexpr int64_t kWorthABar = 4 * 1024 * 1024;

// One line of at most `width` columns: label, bar, percent, and as many of the facts as fit.
std::string RenderBar(const ProgressRow& row, int width);
// One line for a log: label, phase, percent, facts.
std::string RenderPlain(const ProgressRow& row);

}  // namespace millrace::cli
