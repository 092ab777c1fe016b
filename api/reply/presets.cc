#include "api/reply/presets.h"

#include <algorithm>
#include <vector>

#include "api/reply/embedded_files.h"
#include "core/base/files.h"

namespace millrace::api {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxDescriptionBytes = 500;

bool IsPresetName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

[[noreturn]] void Refuse(const std::string& origin, const std::string& what) {
  throw Error(ErrorCode::kInvalidRequest, "preset file " + origin + ": " + what);
}

// Presets are built from no others.
class NoPresets final : public PresetSource {
 public:
  const nlohmann::json* Find(std::string_view) const override { return nullptr; }
};

void CheckDescription(const nlohmann::json& preset, std::vector<FieldError>& errors) {
  const auto found = preset.find("description");
  if (found == preset.end() || !found->is_string() ||
      found->get_ref<const std::string&>().empty() ||
      found->get_ref<const std::string&>().size() > kMaxDescriptionBytes) {
    errors.push_back({"/description", "is required: a text of 1 to " +
                                          std::to_string(kMaxDescriptionBytes) + " bytes"});
  }
}

// Reads the preset as the output of a job that would use it; the name stands in for the job's.
OutputSpec Resolve(const std::string& name, const nlohmann::json& preset,
                   std::vector<FieldError>& errors) {
  nlohmann::json output = preset;
  output.erase("description");
  for (const char* key : {"name", "preset"}) {
    if (output.contains(key)) errors.push_back({std::string("/") + key, "unknown field"});
    output.erase(key);
  }
  output["name"] = name;
  constexpr std::string_view kPlace = "/outputs/0";
  std::vector<FieldError> wrong;
  EncodeSpec spec = ParseEncodeSpec(nlohmann::json::array({output}), nullptr, NoPresets(), wrong);
  for (FieldError& error : wrong) {
    if (error.pointer.starts_with(kPlace)) error.pointer.erase(0, kPlace.size());
    errors.push_back(std::move(error));
  }
  return spec.outputs.empty() ? OutputSpec() : spec.outputs.front();
}

std::vector<fs::path> FilesIn(const fs::path& folder) {
  std::error_code wrong;
  std::vector<fs::path> files;
  fs::directory_iterator entries(folder, wrong);
  if (wrong) {
    throw Error(ErrorCode::kInvalidRequest,
                "cannot read the presets folder " + folder.string() + ": " + wrong.message());
  }
  for (const fs::directory_entry& entry : entries) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

Presets::Presets(const fs::path& folder) {
  for (const EmbeddedFile& file : ShippedPresets()) {
    Add(std::string(file.name), file.content, std::string(file.name) + ".json (shipped)");
  }
  if (folder.empty()) return;
  for (const fs::path& file : FilesIn(folder)) {
    Add(file.stem().string(), ReadWholeFile(file), file.string());
  }
}

const nlohmann::json* Presets::Find(std::string_view name) const {
  const auto found = presets_.find(name);
  return found == presets_.end() ? nullptr : &found->second.source;
}

const nlohmann::json* Presets::FindView(std::string_view name) const {
  const auto found = presets_.find(name);
  return found == presets_.end() ? nullptr : &found->second.view;
}

nlohmann::json Presets::Views() const {
  nlohmann::json views = nlohmann::json::array();
  for (const auto& [name, preset] : presets_) views.push_back(preset.view);
  return views;
}

void Presets::Add(const std::string& name, std::string_view text, const std::string& origin) {
  if (!IsPresetName(name)) {
    Refuse(origin, "a preset's name takes 1 to 64 small letters, digits and '-'");
  }
  nlohmann::json source;
  try {
    source = nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    Refuse(origin, error.what());
  }
  if (!source.is_object()) Refuse(origin, "must be a JSON object");
  std::vector<FieldError> errors;
  CheckDescription(source, errors);
  const OutputSpec resolved = Resolve(name, source, errors);
  if (!errors.empty()) Refuse(origin, Error(std::move(errors)).what());
  nlohmann::json view = ToJson(resolved);
  view["description"] = source.at("description");
  presets_[name] = {.source = std::move(source), .view = std::move(view)};
}

}  // namespace millrace::api
