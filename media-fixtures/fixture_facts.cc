// fixture_facts FILE...: prints what is measured of each file, as the manifest writes it.

#include <algorithm>
#include <iostream>

#include "media-fixtures/facts.h"

namespace millrace::fixtures {
namespace {

using nlohmann::ordered_json;

ordered_json MeasureAll(const std::filesystem::path& file) {
  ordered_json facts = MeasureFacts(file);
  const auto corners = MeasureCorners(file);
  const bool flat = std::find(corners.begin(), corners.end(), "?") == corners.end();
  if (flat && corners.size() == 4 && corners[0] != corners[1]) facts["corners"] = corners;
  const SyncMarks marks = MeasureSync(file);
  if (marks.flashes.size() > 1 && marks.flashes.size() == marks.beeps.size()) {
    facts["sync"] = {{"flashes", marks.flashes}, {"worst_offset_seconds", marks.WorstOffset()}};
  }
  return facts;
}

// One line for the file, one for each stream.
void Print(ordered_json facts, std::ostream& out) {
  const ordered_json streams = facts.value("streams", ordered_json::array());
  facts.erase("streams");
  std::string line = facts.dump();
  line.pop_back();
  out << "      \"facts\": " << line;
  if (!streams.empty()) {
    out << ",\"streams\":[";
    for (size_t i = 0; i < streams.size(); ++i) {
      out << (i == 0 ? "\n" : ",\n") << "        " << streams[i].dump();
    }
    out << "]";
  }
  out << "}\n";
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: fixture_facts FILE...\n";
    return 2;
  }
  for (int i = 1; i < argc; ++i) {
    const std::filesystem::path file = argv[i];
    std::cout << file.filename().string() << "\n";
    Print(MeasureAll(file), std::cout);
  }
  return 0;
}

}  // namespace
}  // namespace millrace::fixtures

int main(int argc, char** argv) { return millrace::fixtures::Main(argc, argv); }
