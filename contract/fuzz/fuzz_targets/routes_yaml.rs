//! Any bytes are refused or make a table that reads itself back.
#![no_main]

use contract::RouteTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = RouteTable::parse(bytes) {
        let rendered = table.render().expect("a table renders");
        assert_eq!(RouteTable::parse(rendered.as_bytes()).expect("what was rendered parses"), table);
    }
});
