#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::harness {

// Reads /proc to see what a running service does. Thread-safe. Every function returns 0 or nothing
// for a process that has ended.

std::vector<pid_t> ChildrenOf(pid_t parent);
std::vector<pid_t> DescendantsOf(pid_t ancestor);
// The file name of the program that the process runs, e.g. "millrace-encode".
std::string ProgramNameOf(pid_t pid);
bool IsAlive(pid_t pid);

int64_t ResidentBytes(pid_t pid);
int64_t PeakResidentBytes(pid_t pid);
// User and system time of the process, in seconds.
double CpuSeconds(pid_t pid);

}  // namespace millrace::harness
