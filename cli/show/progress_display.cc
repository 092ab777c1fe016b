#include "cli/show/progress_display.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cli/show/terminal.h"

namespace millrace::cli {
namespace {

constexpr int kLinesEvery = 10;  // percent

bool IsNews(const ProgressRow& before, const ProgressRow& now) {
  return before.phase != now.phase || before.outcome != now.outcome ||
         (before.remark.empty() != now.remark.empty()) ||
         before.percent / kLinesEvery != now.percent / kLinesEvery;
}

}  // namespace

ProgressDisplay::Kind ProgressDisplay::KindFor(std::FILE* out) {
  if (!IsTerminal(out)) return Kind::kLines;
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
  return dumb ? Kind::kLines : Kind::kBars;
}

ProgressDisplay::ProgressDisplay(std::FILE* out, Kind kind, size_t rows)
    : out_(out), kind_(kind), rows_(rows), printed_(rows) {}

void ProgressDisplay::Update(size_t row, const ProgressRow& status) {
  const MutexLock lock(mutex_);
  if (rows_.at(row) == status) return;
  rows_[row] = status;
  if (kind_ == Kind::kBars) {
    DrawBars();
  } else if (kind_ == Kind::kLines) {
    PrintLine(row);
  }
}

void ProgressDisplay::DrawBars() {
  const ScreenSize size = SizeOf(out_);
  // Leave one column and one line free: a full last line would scroll the others out of reach.
  const size_t room = static_cast<size_t>(std::max(1, size.rows - 2));
  std::string frame;
  if (drawn_lines_ > 0) frame = "\033[" + std::to_string(drawn_lines_) + "A";
  size_t lines = 0;
  size_t hidden = 0;
  for (const ProgressRow& row : rows_) {
    if (row.label.empty()) continue;  // not reported yet
    const bool ended = row.outcome != ProgressRow::Outcome::kNone;
    if (lines == room || (ended && rows_.size() > room)) {
      ++hidden;
      continue;
    }
    frame += "\r\033[K" + RenderBar(row, size.columns - 1) + "\n";
    ++lines;
  }
  if (hidden > 0) {
    frame += "\r\033[Kand " + std::to_string(hidden) + " more\n";
    ++lines;
  }
  if (lines < drawn_lines_) frame += "\033[J";
  drawn_lines_ = lines;
  std::fwrite(frame.data(), 1, frame.size(), out_);
  std::fflush(out_);
}

void ProgressDisplay::PrintLine(size_t row) {
  if (!IsNews(printed_[row], rows_[row])) return;
  printed_[row] = rows_[row];
  std::fprintf(out_, "%s\n", RenderPlain(rows_[row]).c_str());
  std::fflush(out_);
}

}  // namespace millrace::cli
