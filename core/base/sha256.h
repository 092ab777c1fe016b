#pragma once

#include <memory>
#include <span>
#include <string>

namespace millrace {

// Computes a SHA-256 piece by piece. Owned and used by one thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();

  void Add(std::span<const char> bytes);
  // Returns lower-case hex. Call it once, last.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace millrace
