#include "cli/client/pages.h"

#include <algorithm>

namespace millrace::cli {

Listing ListUpTo(int limit, const char* member, const FetchPage& fetch) {
  constexpr int kLargestPage = 500;
  Listing listing;
  do {
    const int missing = limit - static_cast<int>(listing.items.size());
    const nlohmann::json page = fetch(std::min(missing, kLargestPage), listing.next_page_token);
    for (const nlohmann::json& item : page.at(member)) listing.items.push_back(item);
    listing.next_page_token = page.value("next_page_token", "");
  } while (!listing.next_page_token.empty() && static_cast<int>(listing.items.size()) < limit);
  return listing;
}

}  // namespace millrace::cli
