#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/model/encode_spec.h"

namespace millrace::api {

// The presets of this server: those shipped with the program and those of a folder, which add to
// them and replace those of the same name. A preset is a JSON file NAME.json: an output of a job
// without its name, and a `description`. All are checked here, so that a mistake in one stops the
// start and not the jobs that use it. Immutable, so every thread may read it.
class Presets final : public PresetSource {
 public:
  // An empty `folder` adds nothing. Throws Error{kInvalidRequest} that names the file and every
  // wrong field in it, or the folder if it cannot be read.
  explicit Presets(const std::filesystem::path& folder);

  const nlohmann::json* Find(std::string_view name) const override;
  // The preset as clients see it, every default spelt out, or nullptr.
  const nlohmann::json* FindView(std::string_view name) const;
  // All of them, by name.
  nlohmann::json Views() const;

 private:
  struct Preset {
    nlohmann::json source;
    nlohmann::json view;
  };

  void Add(const std::string& name, std::string_view text, const std::string& origin);

  std::map<std::string, Preset, std::less<>> presets_;
};

}  // namespace millrace::api
