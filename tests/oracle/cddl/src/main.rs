// SPDX-License-Identifier: Apache-2.0
// cddl-reader SCHEMA: whether each line of standard input, which is JSON, is what the schema's first rule says.
use cddl::validator::json::JSONValidator;
use cddl::validator::Validator;
use std::io::BufRead;

fn main() {
    let path = std::env::args().nth(1).expect("SCHEMA");
    let text = std::fs::read_to_string(&path).expect("the schema");
    let schema = cddl::cddl_from_str(&text, true).expect("CDDL");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let document = serde_json::from_str(&line).expect("JSON");
        match JSONValidator::new(&schema, document, None).validate() {
            Ok(()) => println!("ok"),
            Err(e) => println!("{}", e.to_string().replace('\n', "; ")),
        }
    }
}
