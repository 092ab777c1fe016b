#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace millrace::cli {

// Items of a paged list, and the token of the page behind them; "" if there is none.
struct Listing {
  nlohmann::json items = nlohmann::json::array();
  std::string next_page_token;
};

// Fetches one page of at most `page_size` items; an empty token stands for the first page.
using FetchPage = std::function<nlohmann::json(int page_size, const std::string& token)>;

// Fetches pages until there are `limit` items or no more. `member` names the array in each page.
Listing ListUpTo(int limit, const char* member, const FetchPage& fetch);

}  // namespace millrace::cli
