#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "cli/show/progress_row.h"
#include "core/base/mutex.h"

namespace millrace::cli {

// Shows one row a job: on a terminal a bar that is redrawn in place, elsewhere a line whenever a
// job enters another phase or passes another ten percent. Thread-safe.
class ProgressDisplay {
 public:
  enum class Kind { kBars, kLines, kNothing };

  // kBars if `out` is a terminal that can move its cursor, else kLines.
  static Kind KindFor(std::FILE* out);

  // `out` outlives the display.
  ProgressDisplay(std::FILE* out, Kind kind, size_t rows);

  void Update(size_t row, const ProgressRow& status) EXCLUDES(mutex_);

 private:
  void DrawBars() REQUIRES(mutex_);
  void PrintLine(size_t row) REQUIRES(mutex_);

  std::FILE* const out_;
  const Kind kind_;
  Mutex mutex_;
  std::vector<ProgressRow> rows_ GUARDED_BY(mutex_);
  std::vector<ProgressRow> printed_ GUARDED_BY(mutex_);
  size_t drawn_lines_ GUARDED_BY(mutex_) = 0;
};

}  // namespace millrace::cli
