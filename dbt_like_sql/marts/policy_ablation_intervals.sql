with traded as (
    select * from stg_policy_ablation
),

compared as (
    select
        traded.*,
        traded.net_pnl - whole.net_pnl as difference
    from traded
    inner join traded as whole on traded.market = whole.market and traded.session = whole.session and whole.variant = 'full'
),

-- The 0.975 quantile of Student's t by degrees of freedom.
quantiles as (
    select
        unnest(range(1, 31)) as freedom,
        unnest([
            12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851, 2.364624252, 2.306004135, 2.262157163, 2.228138852,
            2.200985160, 2.178812830, 2.160368656, 2.144786688, 2.131449546, 2.119905299, 2.109815578, 2.100922040, 2.093024054, 2.085963447,
            2.079613845, 2.073873068, 2.068657610, 2.063898562, 2.059538553, 2.055529439, 2.051830516, 2.048407142, 2.045229642, 2.042272456
        ]) as quantile
),

sums as (
    select
        market,
        variant,
        count(*) as sessions,
        sum(net_pnl) as net_pnl,
        sum(difference) as difference,
        -- A deviation that is the rounding of equal sessions is none.
        case when stddev_samp(net_pnl) > 1e-9 * max(abs(net_pnl)) then stddev_samp(net_pnl) * sqrt(count(*)) end as net_error,
        case when stddev_samp(difference) > 1e-9 * max(abs(difference)) then stddev_samp(difference) * sqrt(count(*)) end as difference_error,
        sum(fees) as fees,
        sum(contracts)::bigint as contracts,
        sum(maker_contracts) / nullif(sum(contracts), 0) as maker_share,
        sum(cancelled) / nullif(sum(orders), 0) as cancelled_share
    from compared
    group by all
),

reached as (
    select
        sums.*,
        -- Above 30 its expansion in 1 / freedom, to nine digits.
        coalesce(
            quantiles.quantile,
            1.959963985 + 2.372271230 / (sessions - 1) + 2.822498616 / (sessions - 1) ** 2 + 2.555849680 / (sessions - 1) ** 3
            + 1.589534053 / (sessions - 1) ** 4
        ) as quantile
    from sums
    left join quantiles on sums.sessions - 1 = quantiles.freedom
),

final as (
    select
        market,
        variant,
        sessions,
        net_pnl,
        net_pnl - quantile * net_error as net_low,
        net_pnl + quantile * net_error as net_high,
        difference,
        difference - quantile * difference_error as difference_low,
        difference + quantile * difference_error as difference_high,
        fees,
        contracts,
        maker_share,
        cancelled_share
    from reached
)

select * from final order by market, net_pnl desc, variant
