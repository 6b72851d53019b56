with found as (
    select * from indicator_trials
),

renamed as (
    select
        market,
        period,
        trial,
        sampler,
        indicator,
        formula,
        leader,
        tau,
        slow,
        levels,
        score,
        r2_alone,
        best
    from found
)

select * from renamed
