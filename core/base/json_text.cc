#include "core/base/json_text.h"

#include <nlohmann/json.hpp>

namespace millrace {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

}  // namespace

std::string ToText(const nlohmann::json& json) { return json.dump(-1, ' ', false, kReplace); }

std::string ToIndentedText(const nlohmann::json& json) {
  return json.dump(2, ' ', false, kReplace);
}

}  // namespace millrace
