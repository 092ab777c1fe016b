#pragma once

#include <string>

namespace millrace::cli {

// The options of every command that talks to a running service.
struct ClientOptions {
  std::string url = "http://127.0.0.1:8080";
  bool json = false;  // print JSON instead of text
};

}  // namespace millrace::cli
