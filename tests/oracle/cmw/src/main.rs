// SPDX-License-Identifier: Apache-2.0
// What Veraison's crate finds in the collection on each line of standard input: a line for each record, and then "end".
use cmw::collection::Label;
use cmw::{Indicator, CMW};
use std::io::BufRead;

fn tell(path: &str, cmw: &CMW) {
    match cmw {
        CMW::Monad(m) => {
            let evidence = m.indicator() == Some(Indicator::EVIDENCE);
            println!("{path} {} {evidence} {}", m.type_(), m.value().len());
        }
        CMW::Collection(c) => {
            let kind = c.get_type().map(ToString::to_string).unwrap_or_default();
            println!("{path} {kind}");
            for meta in c.get_meta() {
                let Label::Str(name) = &meta.key else { continue };
                tell(&format!("{path}/{name}"), c.get_item(&meta.key).expect("an item"));
            }
        }
    }
}

fn main() {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match CMW::unmarshal_json(line.as_bytes()) {
            Ok(cmw) => tell("", &cmw),
            Err(e) => println!("refused: {e}"),
        }
        println!("end");
    }
}
