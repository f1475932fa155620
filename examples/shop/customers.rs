//! Customers, who look at products and sometimes order one.

use crate::join;
use rachis::{App, Node, Result};
use serde_json::json;
use std::time::Duration;

/// Buys until it is told to stop.
pub(crate) async fn run() -> Result<()> {
    let node = join("customers", App::new()).await?;
    println!("customers come, process {}", std::process::id());
    let buying = tokio::spawn(buy(node.clone()));
    node.run_until_signal().await?;
    buying.abort();
    Ok(())
}

async fn buy(node: Node) {
    for number in 0_u32.. {
        // Busier and calmer in turn, as shops are.
        let pause = 40.0 + 30.0 * (f64::from(number) / 200.0).sin();
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
        let customer = node.clone();
        tokio::spawn(async move {
            // What fails is counted, and a customer who fails comes again.
            let _ = customer.service("products").find().query(json!({ "$limit": 3 })).await;
            if number % 4 == 0 {
                // There are four products, so now and then one is asked for that there is not.
                let order = json!({ "product": number / 4 % 9 % 5 + 1, "count": 2, "email": "customer@example.com" });
                let _ = customer.service("orders").create(order).await;
            }
        });
    }
}
