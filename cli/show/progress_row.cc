#include "cli/show/progress_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/base/text.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

constexpr int kLabelWidth = 28;
constexpr int kMinLabelWidth = 8;
constexpr int kBarWidth = 24;
constexpr int kMinBarWidth = 6;
constexpr int kPercentWidth = 4;

template <typename T>
std::optional<T> OptionalAt(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<T>();
}

std::string Bar(const ProgressRow& row, int width) {
  const int inner = width - 2;
  const int filled = std::clamp(row.percent, 0, 100) * inner / 100;
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < inner && row.outcome == ProgressRow::Outcome::kNone) bar += '>';
  bar.resize(static_cast<size_t>(inner), ' ');
  return "[" + bar + "]";
}

// Returns the facts in order of importance.
std::vector<std::string> Facts(const ProgressRow& row) {
  std::vector<std::string> facts = {row.phase};
  if (!row.remark.empty()) facts.push_back(row.remark);
  if (row.outcome != ProgressRow::Outcome::kNone) return facts;
  if (row.queue_position) facts.push_back(fmt::format("#{} in the queue", *row.queue_position));
  if (row.eta_seconds) facts.push_back("eta " + FormatDuration(*row.eta_seconds));
  if (row.speed > 0) facts.push_back(fmt::format("{:.2g}x", row.speed));
  if (row.fps > 0) facts.push_back(fmt::format("{:.0f} fps", row.fps));
  return facts;
}

}  // namespace

ProgressRow RowOf(const json& job) {
  const json input = job.value("input", json::object());
  const json progress = job.value("progress", json::object());
  const std::string state = job.value("state", "");
  ProgressRow row;
  row.label = Printable(input.value("name", job.value("id", "")));
  row.phase = state;
  if (state == "running" && job.contains("phase") && job["phase"].is_string()) {
    row.phase = job["phase"];
  } else if (state == "retry_wait") {
    row.phase = "waiting for another try";
  }
  row.percent = progress.value("percent", 0);
  row.fps = progress.value("fps", 0.0);
  row.speed = progress.value("speed", 0.0);
  row.eta_seconds = OptionalAt<double>(progress, "eta_seconds");
  row.queue_position = OptionalAt<int64_t>(progress, "queue_position");
  if (state == "succeeded") {
    row.outcome = ProgressRow::Outcome::kGood;
  } else if (state == "dead" || state == "cancelled") {
    row.outcome = ProgressRow::Outcome::kBad;
  }
  return row;
}

namespace {

ProgressRow TransferRow(const char* phase, const std::string& label, int64_t done,
                        std::optional<int64_t> total) {
  ProgressRow row;
  row.label = Printable(label);
  row.phase = phase;
  row.remark = FormatBytes(done);
  if (total && *total > 0) {
    row.percent = static_cast<int>(static_cast<double>(done) * 100 / static_cast<double>(*total));
    row.remark += " of " + FormatBytes(*total);
  }
  return row;
}

}  // namespace

ProgressRow UploadRow(const std::string& label, int64_t done, std::optional<int64_t> total) {
  return TransferRow("uploading", label, done, total);
}

ProgressRow DownloadRow(const std::string& label, int64_t done, std::optional<int64_t> total) {
  return TransferRow("downloading", label, done, total);
}

std::string RenderBar(const ProgressRow& row, int width) {
  const std::string percent = fmt::format("{:3}%", std::clamp(row.percent, 0, 100));
  // Shrink label and bar first, down to their smallest; then leave out whole facts.
  const int spare = width - kLabelWidth - kBarWidth - kPercentWidth - 2 - 24;
  const int less = std::max(0, -spare);
  const int label_width = std::max(kMinLabelWidth, kLabelWidth - less / 2);
  const int bar_width = std::max(kMinBarWidth, kBarWidth - (less + 1) / 2);
  std::string line = Padded(row.label, label_width) + " " + Bar(row, bar_width) + " " + percent;
  for (const std::string& fact : Facts(row)) {
    if (DisplayWidth(line) + 2 + DisplayWidth(fact) > width) break;
    line += "  " + fact;
  }
  return Truncated(line, width);
}

std::string RenderPlain(const ProgressRow& row) {
  std::string line = fmt::format("{}: {}%", row.label, row.percent);
  for (const std::string& fact : Facts(row)) line += " " + fact;
  return line;
}

}  // namespace millrace::cli
