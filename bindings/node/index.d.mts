// The types of @rachis/feathers, for `import`.
import distribution from './index.js'

export type DistributionOptions = distribution.DistributionOptions
export type ServiceDescriptor = distribution.ServiceDescriptor
export declare const initialize: typeof distribution.initialize
export declare const finalize: typeof distribution.finalize
export default distribution
