#pragma once

namespace millrace {

// Returns a number in [0, 1), evenly distributed, for jitter; ids come from core/base/id.h. Each
// thread has a generator of its own, seeded by the system.
double RandomFraction();

}  // namespace millrace
