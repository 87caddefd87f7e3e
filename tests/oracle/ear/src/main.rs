// SPDX-License-Identifier: Apache-2.0
// Reads "JWK TOKEN" from lines of standard input, and says what Veraison's crate makes of each.
use std::io::BufRead;

fn main() {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (jwk, token) = line.split_once(' ').expect("JWK TOKEN");
        match ear::Ear::from_jwt_jwk(token, ear::Algorithm::ES256, jwk.as_bytes()) {
            Ok(ear) => {
                let states: Vec<String> = ear
                    .submods
                    .iter()
                    .map(|(name, a)| {
                        let status: &str = (&a.status).into();
                        format!("{name}={status}")
                    })
                    .collect();
                println!("{} {}", ear.profile, states.join(" "));
            }
            Err(e) => println!("refused: {e}"),
        }
    }
}
