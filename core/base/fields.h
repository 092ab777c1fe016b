#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace millrace {

// Reads the members of one JSON object and collects every mistake in it, so that a client learns of
// all of them at once. A getter returns nullopt for an absent, null or wrong member, and records an
// error for a wrong one. Used by one thread, for the length of one parse.
class Fields {
 public:
  // `pointer` is the object's own JSON pointer ("" for the root). Records an error and reads as
  // empty if `object` is not an object.
  Fields(const nlohmann::json& object, std::string pointer, std::vector<FieldError>& errors);

  std::optional<std::string> String(std::string_view key, size_t max_length = 256);
  std::optional<int64_t> Integer(std::string_view key, int64_t low, int64_t high);
  std::optional<double> Number(std::string_view key, double low, double high);
  std::optional<bool> Boolean(std::string_view key);
  // The member as it is, or nullptr if it is absent or null.
  const nlohmann::json* Raw(std::string_view key);

  // Maps a string member through `names` ({"h264", kH264}, …); an unknown name is an error that
  // lists the known ones.
  template <typename T, size_t N>
  std::optional<T> OneOf(std::string_view key,
                         const std::array<std::pair<std::string_view, T>, N>& names) {
    const std::optional<std::string> text = String(key);
    if (!text) return std::nullopt;
    std::string known;
    for (const auto& [name, value] : names) {
      if (*text == name) return value;
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    Fail(key, "'" + *text + "' is not one of: " + known);
    return std::nullopt;
  }

  // The row of a table whose `name` is the value of a string member; null if there is none. An
  // unknown name is an error that lists the known ones.
  template <typename Row>
  const Row* RowNamed(std::string_view key, std::span<const Row> rows) {
    const std::optional<std::string> text = String(key);
    if (!text) return nullptr;
    std::string known;
    for (const Row& row : rows) {
      if (*text == row.name) return &row;
      known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    Fail(key, "'" + *text + "' is not one of: " + known);
    return nullptr;
  }

  void Fail(std::string_view key, std::string detail);
  // The pointer of a member of this object.
  std::string PointerTo(std::string_view key) const;
  // Records an error for each member that no getter has read. Call it last.
  void RefuseOthers();

 private:
  const nlohmann::json* object_;
  std::string pointer_;
  std::vector<FieldError>& errors_;
  std::vector<std::string> asked_;
};

}  // namespace millrace
