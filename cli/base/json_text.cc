#include "cli/base/json_text.h"

#include <algorithm>

#include "cli/base/text.h"
#include "core/base/json_text.h"

namespace millrace::cli {

using nlohmann::json;

std::string Text(const json& object, const char* key) {
  const json& member = Member(object, key);
  if (member.is_null()) return "";
  return Printable(member.is_string() ? member.get<std::string>() : ToText(member));
}

double Number(const json& object, const char* key) {
  const json& member = Member(object, key);
  return member.is_number() ? member.get<double>() : 0;
}

int64_t Whole(const json& object, const char* key) {
  const json& member = Member(object, key);
  return member.is_number_integer() ? member.get<int64_t>() : 0;
}

const json& Member(const json& object, const char* key) {
  static const json kNothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return !object.is_object() || found == object.end() ? kNothing : *found;
}

std::string TimeText(const json& object, const char* key) {
  const std::string text = Text(object, key);
  const size_t dot = text.find('.');
  return dot == std::string::npos || !text.ends_with('Z') ? text : text.substr(0, dot) + "Z";
}

std::string Joined(const std::vector<std::string>& parts, const std::string& between) {
  std::string joined;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    joined += (joined.empty() ? "" : between) + part;
  }
  return joined;
}

std::string Line(const std::string& name, const std::string& value) {
  return value.empty() ? ""
                       : "  " + Padded(name, std::max(12, DisplayWidth(name) + 2)) + value + "\n";
}

}  // namespace millrace::cli
