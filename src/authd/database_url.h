// DATABASE_URL as applications have it: Prisma, node-postgres, Supabase, Vercel, pgx, JDBC and SQLAlchemy write words
// into it that libpq does not know.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::authd {

struct DatabaseUrl {
    std::string url;                    ///< as libpq takes it
    std::string schema;                 ///< what `schema` said; empty: nothing
    std::vector<std::string> warnings;  ///< what counts for nothing, or for something else, a sentence each
};

/// Reads a URL, or libpq's `keyword = value` text, which is left as it is. A parameter of another driver is ignored
/// with a warning where it changes nothing here, and refused with its remedy where it does.
///
/// Errors: `config`; the sentence names schemes and parameters, and holds no value of the URL.
Result<DatabaseUrl> read_database_url(std::string_view given);

}  // namespace sio::authd
