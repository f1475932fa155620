// The same with `require`.
import feathers = require('@feathersjs/feathers')
import distribution = require('@rachis/feathers')

const options: distribution.DistributionOptions = { key: 'shop', coteDelay: -1 }
const app = feathers.feathers()
app.configure(distribution(options))
app.configure(distribution.default())
const joined: Promise<void> = distribution.initialize(app)
const left: Promise<void> = distribution.finalize(app)

// @ts-expect-error it takes an object
distribution('shop')

export = { joined, left }
